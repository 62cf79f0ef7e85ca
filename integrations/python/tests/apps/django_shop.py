# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The shop of the tests, with Django: one file is settings, URLs, views and entry points."""

from __future__ import annotations

import os
import time

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from gradual_contract import Gradual

os.environ["DJANGO_SETTINGS_MODULE"] = __name__
SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
MIDDLEWARE = ["gradual_contract.django.RouteMiddleware"]

gradual = Gradual(
    features={"search": ["GET /api/search"], "checkout": ["POST /api/orders"]},
    ready=lambda: None if os.path.exists(os.environ["READY"]) else "closed",
    counters={"feature_orders": "Orders, by what the user has."},
)


def search(request: HttpRequest) -> JsonResponse:
    if request.GET.get("q") == "refused":
        return JsonResponse({}, status=401)
    if gradual.is_on("search") and request.GET.get("q") == "broken":
        raise RuntimeError("the feature is broken")
    variant = gradual.details("search").variant
    return JsonResponse({"on": gradual.is_on("search"), "variant": variant, "unknown": gradual.is_on("x")})


def product(_request: HttpRequest, number: int) -> JsonResponse:
    return JsonResponse({"number": number})


def slow(_request: HttpRequest) -> JsonResponse:
    time.sleep(1.5)
    return JsonResponse({})


def order(_request: HttpRequest) -> JsonResponse:
    gradual.count("feature_orders")
    gradual.feedback("checkout", "good")
    return JsonResponse({}, status=201)


urlpatterns = [
    path("api/search", search),
    path("api/products/<int:number>", product),
    path("slow", slow),
    path("api/orders", order),
]
app = gradual.wsgi(get_wsgi_application())
asgi = gradual.asgi(get_asgi_application())
