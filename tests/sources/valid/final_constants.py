class Finals(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : NoneType
  sizes : Final[Tuple[int, int, int]] = (3, -1, 4)
  pair : Final[Tuple[int, Tuple[float, bool]]] = (1, (2., True))
  rate : Final[float] = 1.0000000000000001e-05
  nothing : Final[NoneType] = None
  mode : Final[str] = "it\'s \"zeros\"\n"
  def forward(self: __torch__.themes.Finals,
    x: Tensor) -> Tensor:
    _0 = torch.mul(x, 1.0000000000000001e-05)
    return torch.add(torch.add(_0, -1), 2.)
