class Indexing(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Indexing,
    x: Tensor,
    index: Tensor,
    n: int) -> Tensor:
    a = torch.add(torch.select(x, 0, 0), torch.select(x, 0, -1))
    _0 = torch.slice(torch.slice(x, 0, 1, 3), 1)
    _1 = torch.slice(_0, 2, None, None, 2)
    _2 = torch.unsqueeze(torch.slice(x, 0, None, -1), 1)
    b = torch.add(_1, torch.select(_2, -1, 0))
    _3 = annotate(List[Optional[Tensor]], [index])
    _4 = torch.index(x, _3)
    _5 = annotate(List[Optional[Tensor]], [torch.gt(index, 0)])
    _6 = torch.add(_4, torch.index(x, _5))
    _7 = torch.select(torch.slice(x), 2, n)
    _8 = annotate(List[Optional[Tensor]], [None, index])
    c = torch.add(_6, torch.index(_7, _8))
    d = torch.slice(torch.slice(x, 0, n), 1, 1, torch.add(n, 2), 3)
    sizes = torch.size(x)
    _9 = torch.slice(torch.view(x, [sizes[0], -1]))
    e = torch.slice(_9, 1, None, sizes[1])
    f = torch.slice(torch.slice(sizes, 1), None, None, -1)
    first = sizes[0]
    rest = torch.slice(sizes, 1)
    _10 = torch.add(torch.sum(a), torch.sum(b))
    _11 = torch.add(torch.add(_10, torch.sum(c)), torch.sum(d))
    _12 = torch.add(torch.add(_11, torch.sum(e)), f[0])
    _13 = torch.add(torch.add(_12, first), torch.len(rest))
    return _13
