// SPDX-License-Identifier: Apache-2.0
//
// Version and build facts, filled in by the build.
#pragma once

#include <string_view>

namespace llava {

/// Semantic version, as in CHANGELOG.md.
extern const std::string_view kVersion;
/// Source revision of the build, or "unknown" outside a checkout.
extern const std::string_view kRevision;
/// Compiler name and version.
extern const std::string_view kCompiler;
/// "Release", "RelWithDebInfo", ...
extern const std::string_view kBuildType;

}  // namespace llava
