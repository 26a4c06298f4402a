"""FastAPI with SQLModel, as their tutorials go: a session a request, models in and out."""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from sqlalchemy import event
from sqlmodel import Field, Session, SQLModel, create_engine, select


class User(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    token: str


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
    user = session.exec(select(User).where(User.token == digest)).first()
    if user is None:
        raise HTTPException(401)
    return user


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
