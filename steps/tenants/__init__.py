"""What the steps of provision_tenant share: the saga is ours, the rows are the new tenant's."""
