class Raise(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.Raise,
    x: Tensor,
    n: int) -> Tensor:
    _0 = "AssertionError: thirteen is not welcome"
    if torch.lt(n, 0):
      _1 = torch.format("n is {}, which is negative", n)
      ops.prim.RaiseException(_1, "builtins.ValueError")
    else:
      pass
    if torch.eq(n, 0):
      ops.prim.RaiseException("nothing to do", "builtins.RuntimeError")
    else:
      pass
    if torch.ne(n, 13):
      pass
    else:
      ops.prim.RaiseException(_0)
    if torch.eq(torch.dim(x), 4):
      pass
    else:
      ops.prim.RaiseException("AssertionError: ")
    if torch.gt(n, 100):
      ops.prim.RaiseException("")
    else:
      pass
    return torch.mul(x, n)
