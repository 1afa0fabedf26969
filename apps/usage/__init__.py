"""What calls have cost: the journal of this process, the ledger it is forwarded to, and the rollups made of that.

Entries are written once. A correction is another entry, and nothing here edits or deletes one.
"""
