import os

# Set before torch is imported: with two busy-waiting thread pools the same small training took 11-90 s, without 13-16.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
