# SPDX-License-Identifier: Apache-2.0
# Install rules, the exported CMake package and the CPack archives.
include(GNUInstallDirs)
