class InPlace(Module):
  __parameters__ = []
  __buffers__ = ["mean", ]
  mean : Tensor
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.InPlace,
    x: Tensor) -> Tensor:
    x0 = torch.add_(x, 1)
    x1 = torch.mul_(x0, x0)
    _0 = torch.select(x1, 0, 0)
    _1 = torch.tensor(5., dtype=ops.prim.dtype(_0), device=ops.prim.device(_0))
    _2 = torch.copy_(_0, _1)
    _3 = torch.slice(torch.slice(x1), 1, None, 2)
    _4 = torch.slice(torch.slice(x1), 1, 1, 3)
    _5 = torch.copy_(_4, _3)
    _6 = torch.add_(torch.select(x1, -1, -1), 2)
    mean = self.mean
    _7 = torch.add_(mean, torch.mean(x1, [0]))
    self.mean = _7
    mean0 = self.mean
    _8 = torch.mul_(mean0, 0.90000000000000002)
    _9 = torch.add_(_8, torch.mean(x1, [0]), alpha=0.10000000000000001)
    values = [1, 2, 3]
    _10 = torch._set_item(values, 1, torch.add(values[1], 8))
    values0 = torch.add_(values, [4])
    _11 = torch.relu_(x1)
    _12 = torch.sigmoid_(x1)
    _13 = torch.mul(torch.clamp_(x1, 0.), values0[1])
    return _13
