class Net(Module):
class Other(Module):
  training : bool
