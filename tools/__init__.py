"""The command line, the wallet, the local testnet and what else people run themselves."""
