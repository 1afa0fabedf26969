"""The pages of `docs/` as a site: what MkDocs is told beside them, and the pages that are made of other files."""
