class Weighted(Module):
  __parameters__ = ["weight", ]
  __buffers__ = ["shift", ]
  weight : Tensor
  shift : Tensor
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.___torch_mangle_0.Weighted,
    argument_1: Tensor) -> Tensor:
    shift = self.shift
    weight = self.weight
    _0 = torch.add(torch.mul(argument_1, weight), shift)
    return _0
