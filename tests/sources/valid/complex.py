class Complex(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Complex,
    x: Tensor) -> Tensor:
    _0 = torch.add(torch.mul(x, 1.-2.5j), 0.+6.j)
    _1 = torch.add(_0, torch.real(torch.tensor(1.+2.j)))
    return _1
