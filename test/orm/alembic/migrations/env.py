"""env.py: runs migrations in the database that PGHOST and the like tell."""
from alembic import context
from sqlalchemy import create_engine

from models import Base


def include_name(name, type_, parent_names):
    """Autogenerate would drop what attach_log made: slot tables, and the column day."""
    if type_ == "table":
        return name in Base.metadata.tables
    return (type_, name) != ("column", "day")


with create_engine("postgresql+psycopg2://").connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, include_name=include_name)
    with context.begin_transaction():
        context.run_migrations()
