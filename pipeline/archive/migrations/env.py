"""Run by Alembic on the connection that the archive hands it."""

from alembic import context

from pipeline.archive.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
