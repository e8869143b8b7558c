"""The suite: real SQLite and PostgreSQL migrated by alembic, real processes, real checkpoints."""
