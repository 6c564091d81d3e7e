"""The design: how the frame was found, versions of the plan."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("experiments") as table:
        table.add_column(sa.Column("eligibility", JSON, nullable=True))
        table.add_column(sa.Column("drawn_version", sa.Integer(), nullable=True))
    op.create_table(
        "plan_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("frame_digest", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_plan_versions_experiment_id_experiments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_versions")),
        sa.UniqueConstraint("experiment_id", "number", name=op.f("uq_plan_versions_experiment_id_number")),
    )
    op.create_index(op.f("ix_plan_versions_experiment_id"), "plan_versions", ["experiment_id"])
    _keep_sealed_plans()


def _keep_sealed_plans() -> None:
    """What was sealed before there were versions is version 1, and was drawn from."""
    op.execute(
        "INSERT INTO plan_versions (experiment_id, number, plan, plan_hash, frame_digest, actor, at) "
        "SELECT id, 1, plan, plan_hash, frame_digest, 'system', sealed_at FROM experiments WHERE plan_hash IS NOT NULL"
    )
    op.execute("UPDATE experiments SET drawn_version = 1 WHERE drawn_at IS NOT NULL")


def downgrade() -> None:
    op.drop_table("plan_versions")
    with op.batch_alter_table("experiments") as table:
        table.drop_column("drawn_version")
        table.drop_column("eligibility")
