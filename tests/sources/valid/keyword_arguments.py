class KeywordArguments(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.KeywordArguments,
    x: Tensor) -> Tensor:
    _0 = __torch__.torch.nn.functional._max_pool2d
    out = _0(x, [2, 2], [2, 2], [0, 0], [1, 1], False, False, )
    out0 = torch.conv2d(out, x, None, [1, 1], [1, 1])
    _1 = torch.einsum("ij,jk->ik", [out0, out0])
    out1 = torch.matmul(_1, torch.t(out0))
    _2 = torch.where(torch.gt(out1, 0), out1, torch.full_like(out1, -1.))
    out2 = torch.contiguous(torch.permute(_2, [1, 0]))
    torch.manual_seed(3)
    _3 = torch.add(out2, torch.rand([2, 2]), alpha=2)
    return torch.softmax(_3, -1, 6)
