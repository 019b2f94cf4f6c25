import os
import warnings

# Set before torch is imported: with two busy-waiting thread pools the same small training took 11-90 s, without 13-16.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# transformers and peft announce what they will rename inside themselves; nobody who runs codetune can act on it.
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft")
