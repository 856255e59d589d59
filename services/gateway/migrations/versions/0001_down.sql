drop table accounts.api_keys, accounts.users, accounts.tenants
