class UsesClass(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.UsesClass,
    x: Tensor) -> Tensor:
    _0 = ["a", "b"]
    counter = __torch__.themes.Counter.__new__(__torch__.themes.Counter)
    _1 = (counter).__init__(2, _0, )
    counter.value = 5
    _2 = torch.eq((counter).__getitem__(1, ), "b")
    if _2:
      _3 = (counter).advance((counter).__len__(), )
      x0 = torch.add(x, _3)
    else:
      x0 = x
    value = counter.value
    return torch.mul(x0, value)
class Counter:
  value : int
  names : List[str]
  def __getitem__(self: __torch__.themes.Counter,
    index: int) -> str:
    names = self.names
    return names[index]
  def __init__(self: __torch__.themes.Counter,
    start: int,
    names: List[str]) -> NoneType:
    self.value = start
    self.names = names
    return None
  def __len__(self: __torch__.themes.Counter) -> int:
    names = self.names
    return torch.len(names)
  def advance(self: __torch__.themes.Counter,
    by: int=1) -> int:
    value = self.value
    self.value = torch.add(value, by)
    return self.value
