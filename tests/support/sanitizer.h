// SPDX-License-Identifier: Apache-2.0
//
// LLAVA_HAS_SANITIZER is defined where the address or the thread sanitizer is at work: it brings
// the allocation functions, and the memory it keeps for itself would be counted.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LLAVA_HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LLAVA_HAS_SANITIZER 1
#endif
#endif
