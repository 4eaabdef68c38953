class DeviceDtype(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.DeviceDtype,
    x: Tensor,
    device: Device,
    dtype: Optional[int]=None) -> Tensor:
    a = torch.zeros([2, 3], dtype=5, layout=None, device=torch.device("cpu"))
    b = torch.empty_like(x, dtype=None, layout=None, device=device, pin_memory=None, memory_format=2)
    c = torch.to(x, torch.device("cuda:1"), 7, True)
    d = torch.arange(0, 10, 2, dtype=4, layout=0, device=None, pin_memory=False)
    if ops.prim.is_cuda(x):
      _0 = True
    else:
      _0 = torch.eq(ops.prim.dtype(x), 0)
    if _0:
      _1 = True
    else:
      _2 = torch.eq(ops.prim.type(ops.prim.device(x)), "cpu")
      _1 = _2
    if _1:
      _3 = True
    else:
      _4 = torch.eq(device, ops.prim.device(x))
      _3 = _4
    if _3:
      _5 = torch.to(a, ops.prim.dtype(x))
    else:
      if torch.__isnot__(dtype, None):
        dtype1 = unchecked_cast(int, dtype)
        _6, dtype0 = torch.is_floating_point(x), dtype1
      else:
        _6, dtype0 = False, dtype
      if _6:
        dtype2 = unchecked_cast(int, dtype0)
        _8 = torch.to(b, dtype2, False, True)
        _7 = _8
      else:
        _7 = torch.add(c, torch.to(d, x))
      _5 = _7
    return _5
