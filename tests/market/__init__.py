"""The market: published cases, a reference model, properties, and what each refusal looks like."""
