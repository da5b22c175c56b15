"""The archive of calls: a relational database, written from records and never read by the flow."""
