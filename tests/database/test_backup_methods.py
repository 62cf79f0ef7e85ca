"""Physical backups: taken while users write, proven by recovery to the very moment whose contents are known, and no damage accepted."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from .server import Shop, meanwhile, until

SCHEMA = json.loads((Path(__file__).parents[2] / "collections/ansible_collections/gradual/rollout/schemas/receipt.schema.json").read_text())


def test_a_copy_of_the_files_is_compared_at_the_moment_that_is_known(shop: Shop) -> None:
    ended: list[bool] = []

    def write() -> None:
        with shop.session() as session:
            while not ended:
                session.run("INSERT INTO orders (status) VALUES ('new')")
                session.run("UPDATE orders SET total = total + 1 WHERE id = 1")

    shop.as_owner("CREATE UNLOGGED TABLE cache AS SELECT 1 a")
    with meanwhile(write):
        until(lambda: shop.value("SELECT count(*) > 2050 FROM orders"))
        try:
            taken = shop.back_up("basebackup")
        finally:
            ended.append(True)
    receipt = shop.prove(taken["path"], "sound")
    jsonschema.validate(receipt, SCHEMA)
    assert receipt["level"] == "sound"
    assert 2050 < receipt["tables"]["public.orders"]["rows"] < shop.value("SELECT count(*) FROM orders")
    assert "public.cache" not in receipt["tables"]
