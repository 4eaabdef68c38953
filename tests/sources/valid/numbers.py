class Numbers(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Numbers,
    x: Tensor,
    n: int) -> List[float]:
    values = [0., 0., 1., 1.0000000000000001e-05, 1e-300, 1.7976931348623157e+308, 0.10000000000000001, 3.1415926535897931, 10000000000000000, 123456789., 4.9406564584124654e-324]
    special = [inf, -inf, nan]
    x0 = torch.add(torch.mul(x, -1), -25000000000)
    x1 = torch.clamp(x0, -0.001, inf)
    _0 = torch.add(torch.floordiv(torch.neg(n), 3), torch.remainder(n, 4))
    _1 = torch.add(torch.sub(_0, torch.pow(n, 2)), torch.__lshift__(n, 2))
    _2 = torch.add(_1, torch.__rshift__(n, 1))
    _3 = torch.add(torch.add(_2, torch.__and__(n, 6)), torch.__or__(n, 1))
    m = torch.add(_3, torch.__xor__(n, 5))
    _4 = torch.add(torch.div(n, 7), torch.pow(float(n), 0.5))
    _5 = torch.add(torch.add(torch.add(_4, 1.5), 2.), ops.prim.min(1, n))
    r = torch.add(torch.add(_5, 3.), 3.)
    _6 = torch.sub(torch.add(x1, m), 9223372036854775807)
    y = torch.add(_6, -9223372036854775807)
    torch.extend(values, special)
    _7 = [r, float(torch.sum(y)), float(torch.item(torch.sum(x1)))]
    torch.extend(values, _7)
    return values
