"""The contract runtime: form of code, verifier, interpreter, values, gas; it never sees Python.

Its doors:

- `verifier.decode_code(raw) -> Code` checks the form of code; raises DecodeError `invalid_code`.
  `verifier.CodeCache(limit).get(code_hash, raw)` remembers what was decoded.
- `interpreter.run_function(code, host, name, arguments, door) -> Encodable` runs a function that is
  entered by one of `Door.CALL`, `Door.VIEW`, `Door.INIT`, `Door.UPGRADE`; raises CallError.
- `host.Host` and `host.Meter` are what the chain gives to a running contract.
- `abi.describe_code(code)` is the interface as JSON has it; `abi.check_upgrade(old, new)` lists
  what keeps `new` from following `old`; `abi.to_json(type, value)` and `abi.from_json(type, data)`
  translate values for people; `interfaces.check_imports(code, known)` lists unknown built-ins.
- `tools.contract.compiler.compile_source(text) -> Artefact` makes code of a source: `.raw` bytes,
  `.source`, `.source_map`, `.code`; raises SourceError with line, column and what to write.
"""
