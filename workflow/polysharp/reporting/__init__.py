"""What people read: tables, figures, the report, model cards."""
