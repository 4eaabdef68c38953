class Weighted(Module):
  __parameters__ = ["weight", ]
  __buffers__ = ["shift", ]
  weight : Tensor
  shift : Tensor
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.___torch_mangle_1.Weighted,
    x: Tensor) -> Tensor:
    shift = self.shift
    weight = self.weight
    x0 = torch.add(torch.mul(x, weight), shift)
    return x0
  def forward1(self: __torch__.themes_data.___torch_mangle_1.Weighted,
    argument_1: Tensor) -> Tensor:
    shift = self.shift
    weight = self.weight
    _0 = torch.add(torch.mul(argument_1, weight), shift)
    return _0
