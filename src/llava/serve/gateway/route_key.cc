// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/route_key.h"

#include <initializer_list>
#include <span>
#include <string_view>

#include "llava/core/hash.h"

namespace llava::serve {
namespace {

constexpr std::size_t kPrefixBytes = 512;

std::string_view string_of(const OrderedJson& value) {
  return value.is_string() ? std::string_view(value.get_ref<const std::string&>())
                           : std::string_view();
}

/// The member, or null.
const OrderedJson* member_of(const OrderedJson& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

/// The first text of a value that is a text, an object with a `url`, or a list of such.
std::string_view first_string(const OrderedJson& value) {
  if (value.is_array()) return value.empty() ? std::string_view() : first_string(value.front());
  if (const OrderedJson* url = member_of(value, "url")) return string_of(*url);
  return string_of(value);
}

/// The picture that an object names itself, in the names of all front ends.
std::string_view own_image(const OrderedJson& object) {
  for (const char* name : {"images", "image_data", "image_url", "image"}) {
    const OrderedJson* image = member_of(object, name);
    if (image == nullptr) continue;
    if (const auto found = first_string(*image); !found.empty()) return found;
  }
  const OrderedJson* type = member_of(object, "type");
  const OrderedJson* data = member_of(object, "data");
  return type != nullptr && data != nullptr && *type == "image" ? string_of(*data)
                                                                : std::string_view();
}

/// The first picture and the beginning of the text of a chat's messages.
struct Content {
  std::string_view image;
  std::string text;

  void add_text(std::string_view more) {
    if (text.size() < kPrefixBytes) text += more.substr(0, kPrefixBytes - text.size());
  }
  void add_part(const OrderedJson& part) {
    if (image.empty()) image = own_image(part);
    if (const OrderedJson* written = member_of(part, "text")) add_text(string_of(*written));
  }
  void add_message(const OrderedJson& message) {
    add_part(message);
    const OrderedJson* content = member_of(message, "content");
    if (content == nullptr) return;
    add_text(string_of(*content));
    if (!content->is_array()) return;
    for (const OrderedJson& part : *content) add_part(part);
  }
};

}  // namespace

RouteKey read_route_key(const OrderedJson& body) {
  RouteKey key;
  for (const char* name : {"model", "name"}) {
    const OrderedJson* model = member_of(body, name);
    if (key.model.empty() && model != nullptr) key.model = string_of(*model);
  }
  Content content;
  content.image = own_image(body);
  for (const char* name : {"system", "prompt", "text"}) {
    if (const OrderedJson* written = member_of(body, name))
      content.add_text(first_string(*written));
  }
  if (const OrderedJson* messages = member_of(body, "messages"); messages && messages->is_array()) {
    for (const OrderedJson& message : *messages) content.add_message(message);
  }
  if (content.image.empty() && content.text.empty()) return key;
  std::string shared;
  if (const OrderedJson* salt = member_of(body, "cache_salt")) shared = string_of(*salt);
  shared += '\n';
  shared += content.image.empty() ? std::string_view(content.text) : content.image;
  key.prefix = to_hex(sha256(std::as_bytes(std::span(shared))));
  return key;
}

}  // namespace llava::serve
