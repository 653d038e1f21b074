// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/torch/torch_error.h"

#include <c10/util/Exception.h>

#include <new>
#include <string>
#include <string_view>

#include "llava/core/error.h"

namespace llava {
namespace {

constexpr std::size_t kMaxMessageLength = 300;

std::string first_line(const c10::Error& error) {
  std::string_view text = error.what_without_backtrace();
  text = text.substr(0, text.find('\n'));
  return std::string(text.substr(0, kMaxMessageLength));
}

// The processor's allocator reports a plain Error; the message is all there is to tell by.
bool is_out_of_memory(std::string_view message) {
  return message.find("not enough memory") != std::string_view::npos ||
         message.find("can't allocate memory") != std::string_view::npos ||
         message.find("out of memory") != std::string_view::npos;
}

}  // namespace

void rethrow_as_error() {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& e) {
    fail(ErrorCode::kResourceExhausted, "LibTorch: {}", first_line(e));
  } catch (const c10::Error& e) {
    const std::string message = first_line(e);
    fail(is_out_of_memory(message) ? ErrorCode::kResourceExhausted : ErrorCode::kInternal,
         "LibTorch: {}", message);
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kResourceExhausted, "out of memory in a LibTorch operation");
  }
}

}  // namespace llava
