"""How people prove who they are: second factors, and the identity providers that sign them in."""
