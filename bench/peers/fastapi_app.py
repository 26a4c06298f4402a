"""FastAPI with SQLModel, as their tutorials go: a session a request, models in and out."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from sqlalchemy import event
from sqlmodel import Field, Session, SQLModel, create_engine, select


class User(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str
    password: str


class Token(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    user: int
    hash: str


class Todo(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    list: int
    title: str
    notes: str = ""
    completed: bool = False
    order: float = 0
    created: str = ""
    updated: str = ""
    version: int = 1


class New(SQLModel):
    title: str = Field(min_length=1, max_length=1000)


class Login(SQLModel):
    username: str
    password: str


class Public(SQLModel):
    id: int
    list: int
    title: str
    notes: str
    completed: bool
    order: float
    created: str
    updated: str
    version: int
    url: str


engine = create_engine(f"sqlite:///{os.environ['DATABASE']}")


@event.listens_for(engine, "connect")
def full(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous = full")


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


Db = Annotated[Session, Depends(get_session)]


def get_user(session: Db, authorization: Annotated[str, Header()]) -> User:
    digest = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).hexdigest()
    query = select(User).join(Token, Token.user == User.id).where(Token.hash == digest)
    user = session.exec(query).first()
    if user is None:
        raise HTTPException(401)
    return user


hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
Me = Annotated[User, Depends(get_user)]
app = FastAPI()


def public(todo: Todo, request: Request) -> Public:
    return Public(**todo.model_dump(), url=f"{request.base_url}api/todos/{todo.id}")


@app.get("/api/todos")
def read(session: Db, user: Me, request: Request) -> list[Public]:
    todos = session.exec(select(Todo).where(Todo.list == user.id).order_by(Todo.order))
    return [public(todo, request) for todo in todos]


@app.post("/api/todos", status_code=201)
def add(new: New, session: Db, user: Me, request: Request) -> Public:
    at = datetime.now(UTC).isoformat()
    todo = Todo(list=2, title=new.title, order=1, created=at, updated=at)
    session.add(todo)
    session.commit()
    session.refresh(todo)
    return public(todo, request)


@app.post("/api/tokens", status_code=201)
def log_in(login: Login, session: Db) -> dict[str, str]:
    user = session.exec(select(User).where(User.name == login.username)).first()
    try:
        hasher.verify(user.password if user else "", login.password)
    except (VerificationError, InvalidHashError):
        raise HTTPException(403) from None
    token = secrets.token_urlsafe(32)
    session.add(Token(user=user.id, hash=hashlib.sha256(token.encode()).hexdigest()))
    session.commit()
    return {"token": token}
