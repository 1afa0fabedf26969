"""Tenants, their projects, and who belongs to them in which role.

Everything that belongs to a tenant is read through `for_user`, so that another tenant's things do not exist.
"""
