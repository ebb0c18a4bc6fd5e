"""The modules every chain needs: accounts, members, validators, parameters."""
