class Properties(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  stored : int
  def __doubled_getter(self: __torch__.themes.Properties) -> int:
    stored = self.stored
    return torch.mul(stored, 2)
  def __doubled_setter(self: __torch__.themes.Properties,
    value: int) -> NoneType:
    self.stored = torch.floordiv(value, 2)
    return None
  def forward(self: __torch__.themes.Properties,
    x: Tensor) -> Tensor:
    _0 = (self).__doubled_setter(8, )
    _1 = torch.mul(x, (self).__doubled_getter())
    return _1
