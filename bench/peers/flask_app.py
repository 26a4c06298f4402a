"""Flask with Flask-SQLAlchemy, as their tutorials go."""

import hashlib
import os
import secrets
from datetime import UTC, datetime
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import Flask, abort, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{os.environ['DATABASE']}"
db = SQLAlchemy(app)
hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


@event.listens_for(Engine, "connect")
def full(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous = full")


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String, unique=True)
    password = db.Column(db.String)


class Token(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    user = db.Column(db.Integer, db.ForeignKey("user.id"), nullable=False)
    hash = db.Column(db.String, unique=True)


class Todo(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    list = db.Column(db.Integer, nullable=False)
    title = db.Column(db.String, nullable=False)
    notes = db.Column(db.String, nullable=False, default="")
    completed = db.Column(db.Boolean, nullable=False, default=False)
    order = db.Column(db.Float, nullable=False, default=0)
    created = db.Column(db.String, nullable=False)
    updated = db.Column(db.String, nullable=False)
    version = db.Column(db.Integer, nullable=False, default=1)

    def public(self) -> dict[str, Any]:
        names = [column.name for column in Todo.__table__.columns]
        url = f"{request.host_url}api/todos/{self.id}"
        return {name: getattr(self, name) for name in names} | {"url": url}


def user() -> User:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    digest = hashlib.sha256(token.encode()).hexdigest()
    query = db.select(User).join(Token).filter_by(hash=digest)
    found = db.session.execute(query).scalar_one_or_none()
    return found or abort(401)


@app.get("/api/todos")
def read() -> Any:
    query = db.select(Todo).filter_by(list=user().id).order_by(Todo.order)
    return jsonify([todo.public() for todo in db.session.execute(query).scalars()])


@app.post("/api/todos")
def add() -> Any:
    user()
    title = (request.get_json().get("title") or "").strip()
    if not title or len(title) > 1000:
        abort(422)
    at = datetime.now(UTC).isoformat()
    todo = Todo(list=2, title=title, order=1, created=at, updated=at)
    db.session.add(todo)
    db.session.commit()
    return jsonify(todo.public()), 201


@app.post("/api/tokens")
def log_in() -> Any:
    given = request.get_json()
    query = db.select(User).filter_by(name=given.get("username"))
    found = db.session.execute(query).scalar_one_or_none()
    try:
        hasher.verify(found.password if found else "", given.get("password"))
    except (VerificationError, InvalidHashError):
        abort(403)
    token = secrets.token_urlsafe(32)
    db.session.add(Token(user=found.id, hash=hashlib.sha256(token.encode()).hexdigest()))
    db.session.commit()
    return jsonify({"token": token}), 201
