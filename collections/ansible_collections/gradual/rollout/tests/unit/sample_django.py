# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""A Django project as files: an app of its own, one of others in its .venv, and one without migrations."""

from __future__ import annotations

from pathlib import Path


def staged(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


def migration(*dependencies: str, body: str = "", phase: str = '    gradual_phase = "expand"\n') -> str:
    return (
        "from django.conf import settings\nfrom django.db import migrations\n\n\nclass"
        f" Migration(migrations.Migration):\n{phase}    dependencies = [{', '.join(dependencies)}]\n{body}   "
        " operations = []\n\n\nraise SystemExit('nothing of it is run')\n"
    )


def project(**more: str) -> dict[str, str]:
    files = {
        "manage.py": "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site_of.settings')\n",
        "site_of/__init__.py": "",
        "site_of/base.py": "BASE = ['shop.apps.Shop']\nINSTALLED_APPS = [*BASE]\n",
        "site_of/settings.py": (
            "import os\nfrom .base import *\nINSTALLED_APPS += ['vendor.auth', 'nothing']\nSECRET_KEY ="
            " os.environ['KEY']\nraise SystemExit('nothing of it is run')\n"
        ),
        "shop/__init__.py": "",
        "shop/apps.py": "class Shop(AppConfig):\n    name = 'shop'\n    label = 'store'\n",
        "shop/migrations/__init__.py": "",
        "nothing/__init__.py": "",
        "shop/migrations/0001_initial.py": migration("migrations.swappable_dependency(settings.AUTH_USER_MODEL)"),
        "shop/migrations/0002_note.py": migration("('store', '0001_initial')", "('auth', '__latest__')"),
        ".venv/lib/python3.11/site-packages/vendor/__init__.py": "",
        ".venv/lib/python3.11/site-packages/vendor/auth/__init__.py": "",
        ".venv/lib/python3.11/site-packages/vendor/auth/migrations/__init__.py": "",
        ".venv/lib/python3.11/site-packages/vendor/auth/migrations/0001_initial.py": migration(phase=""),
        ".venv/lib/python3.11/site-packages/vendor/auth/migrations/0002_more.py": migration(
            "('auth', '0001_initial')", phase=""
        ),
    }
    return {**files, **{key.replace("__", "/") + ".py": text for key, text in more.items()}}
