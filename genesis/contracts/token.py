"""A fungible token: balances, allowances, and an owner who may make more of it."""

MAX_SUPPLY = 10**24

owner: address
name: str
total: int
balances: map[address, int]
allowances: map[tuple[address, address], int]

Transfer = event(sender=address, receiver=address, amount=int)
Approval = event(holder=address, spender=address, amount=int)


@init
def start(label: str, amount: int):
    self.owner = caller()
    self.name = label
    if amount != 0:
        make(caller(), amount)


def make(receiver: address, amount: int):
    require(0 < amount <= MAX_SUPPLY - self.total, "there cannot be so much of it")
    self.total += amount
    self.balances[receiver] = self.balances.get(receiver, 0) + amount
    emit(Transfer(address(), receiver, amount))


@export(only=owner)
def mint(receiver: address, amount: int):
    make(receiver, amount)


@export
def burn(amount: int):
    take(caller(), amount)
    self.total -= amount
    emit(Transfer(caller(), address(), amount))


@export
def transfer(receiver: address, amount: int) -> bool:
    move(caller(), receiver, amount)
    return True


@export
def approve(spender: address, amount: int):
    require(amount >= 0, "an allowance is not negative")
    self.allowances[(caller(), spender)] = amount
    emit(Approval(caller(), spender, amount))


@export
def transfer_from(sender: address, receiver: address, amount: int) -> bool:
    left = self.allowances.get((sender, caller()), 0) - amount
    require(left >= 0, "more than was allowed")
    self.allowances[(sender, caller())] = left
    move(sender, receiver, amount)
    return True


def move(sender: address, receiver: address, amount: int):
    take(sender, amount)
    self.balances[receiver] = self.balances.get(receiver, 0) + amount
    emit(Transfer(sender, receiver, amount))


def take(holder: address, amount: int):
    require(amount > 0, "an amount is positive")
    held = self.balances.get(holder, 0)
    require(held >= amount, "more than there is")
    if held == amount:
        del self.balances[holder]
    else:
        self.balances[holder] = held - amount


@view
def balance_of(holder: address) -> int:
    return self.balances.get(holder, 0)


@view
def allowance_of(holder: address, spender: address) -> int:
    return self.allowances.get((holder, spender), 0)


@view
def supply() -> int:
    return self.total


@view
def label_of() -> str:
    return self.name
