# SPDX-License-Identifier: Apache-2.0
# Finds LibTorch 2.6 or later: find_package(Torch) first, else the environment of scripts/setup --torch.
