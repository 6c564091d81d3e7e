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
        table.add_column(sa.Column("baseline_digest", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("spillover", JSON, nullable=True))
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
    _running()
    _drafts()


def _drafts() -> None:
    op.create_table(
        "plan_drafts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("saved_by", sa.String(length=254), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_drafts")),
        sa.UniqueConstraint("key", name=op.f("uq_plan_drafts_key")),
    )


def _running() -> None:
    with op.batch_alter_table("cases") as table:
        table.add_column(sa.Column("opted_out_at", sa.DateTime(timezone=True), nullable=True))
    _of_experiments(
        "looks",
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("information", sa.Double(), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("findings", JSON, nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("approved_by", sa.String(length=254), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        unique="number",
    )
    _of_experiments(
        "rollout_steps",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("arm", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        unique="number",
    )
    _of_experiments(
        "rollout_units",
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("stratum", sa.String(length=200), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("held_until", sa.Date(), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_rollout_units_customer_id_customers")
        ),
        unique="customer_id",
    )
    op.create_index(op.f("ix_rollout_units_customer_id"), "rollout_units", ["customer_id"])
    _of_experiments(
        "rehearsals",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("seed", sa.String(length=40), nullable=False),
        sa.Column("effects", JSON, nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("result", JSON, nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("asked_by", sa.String(length=254), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        unique="number",
    )


def _of_experiments(table: str, *columns: sa.SchemaItem, unique: str) -> None:
    """A table whose rows belong to an experiment, with one row for each value of one of its columns."""
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f(f"fk_{table}_experiment_id_experiments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint("experiment_id", unique, name=op.f(f"uq_{table}_experiment_id_{unique}")),
    )
    op.create_index(op.f(f"ix_{table}_experiment_id"), table, ["experiment_id"])


def _keep_sealed_plans() -> None:
    """What was sealed before there were versions is version 1, and was drawn from."""
    op.execute(
        "INSERT INTO plan_versions (experiment_id, number, plan, plan_hash, frame_digest, actor, at) "
        "SELECT id, 1, plan, plan_hash, frame_digest, 'system', sealed_at FROM experiments WHERE plan_hash IS NOT NULL"
    )
    op.execute("UPDATE experiments SET drawn_version = 1 WHERE drawn_at IS NOT NULL")


def downgrade() -> None:
    op.drop_table("plan_drafts")
    for table in ("rehearsals", "rollout_units", "rollout_steps", "looks"):
        op.drop_table(table)
    with op.batch_alter_table("cases") as table:
        table.drop_column("opted_out_at")
    op.drop_table("plan_versions")
    with op.batch_alter_table("experiments") as table:
        table.drop_column("spillover")
        table.drop_column("baseline_digest")
        table.drop_column("drawn_version")
        table.drop_column("eligibility")
