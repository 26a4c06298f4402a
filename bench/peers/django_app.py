"""Django in one file: its ORM, a view, connections that are kept."""

import hashlib
import json
import os
import secrets
from datetime import UTC, datetime
from typing import Any

import django
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["DATABASE"],
            "CONN_MAX_AGE": None,
            "OPTIONS": {"init_command": "PRAGMA synchronous = full"},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import models  # noqa: E402  it wants the settings first


class User(models.Model):
    name = models.CharField(max_length=40, unique=True)
    password = models.CharField(max_length=255)

    class Meta:
        app_label, db_table = "bench", "user"


class Token(models.Model):
    user = models.ForeignKey(User, models.CASCADE, db_column="user")
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        app_label, db_table = "bench", "token"


class Todo(models.Model):
    list = models.IntegerField()
    title = models.CharField(max_length=1000)
    notes = models.TextField(default="")
    completed = models.BooleanField(default=False)
    order = models.FloatField(default=0)
    created = models.CharField(max_length=40)
    updated = models.CharField(max_length=40)
    version = models.IntegerField(default=1)

    class Meta:
        app_label, db_table = "bench", "todo"

    def public(self, request: HttpRequest) -> dict[str, Any]:
        names = [field.name for field in self._meta.fields]
        url = request.build_absolute_uri(f"/api/todos/{self.pk}")
        return {name: getattr(self, name) for name in names} | {"url": url}


def todos(request: HttpRequest) -> JsonResponse:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    digest = hashlib.sha256(token.encode()).hexdigest()
    known = Token.objects.select_related("user").filter(hash=digest).first()
    if known is None:
        return JsonResponse({}, status=401)
    if request.method == "GET":
        found = Todo.objects.filter(list=known.user.pk).order_by("order")
        return JsonResponse([todo.public(request) for todo in found], safe=False)
    title = (json.loads(request.body).get("title") or "").strip()
    if not title or len(title) > 1000:
        return JsonResponse({}, status=422)
    at = datetime.now(UTC).isoformat()
    todo = Todo.objects.create(list=2, title=title, order=1, created=at, updated=at)
    return JsonResponse(todo.public(request), status=201)


def log_in(request: HttpRequest) -> JsonResponse:
    given = json.loads(request.body)
    user = User.objects.filter(name=given.get("username")).first()
    try:
        hasher.verify(user.password if user else "", given.get("password"))
    except (VerificationError, InvalidHashError):
        return JsonResponse({}, status=403)
    token = secrets.token_urlsafe(32)
    Token.objects.create(user=user, hash=hashlib.sha256(token.encode()).hexdigest())
    return JsonResponse({"token": token}, status=201)


hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
urlpatterns = [path("api/todos", todos), path("api/tokens", log_in)]
app = get_wsgi_application()
