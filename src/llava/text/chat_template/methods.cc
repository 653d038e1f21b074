// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/methods.h"

#include "llava/text/chat_template/loop.h"
#include "llava/text/chat_template/operations.h"
#include "llava/text/chat_template/string_methods.h"

namespace llava::text::jinja {
namespace {

Value call_sequence_method(Budget& budget, const Method& method, const Arguments& arguments) {
  const std::vector<Value>& items = method.object.items();
  if (method.name == "copy") {
    bind("copy", arguments, {});
    return method.object;
  }
  const auto bound = bind(method.name, arguments, {"value"});
  if (!bound[0]) fail(ErrorCode::kInvalidArgument, "{}() needs an argument", method.name);
  int64_t count = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!equal(budget, items[i], *bound[0])) continue;
    if (method.name == "index") return Value::integer(static_cast<int64_t>(i));
    ++count;
  }
  if (method.name == "index") fail(ErrorCode::kInvalidArgument, "value is not in list");
  return Value::integer(count);
}

Value call_dict_method(Budget& budget, const Method& method, const Arguments& arguments) {
  const Value& dict = method.object;
  if (method.name == "get") {
    const auto bound = bind("get", arguments, {"key", "default"});
    if (!bound[0]) fail(ErrorCode::kInvalidArgument, "get() needs an argument");
    if (bound[0]->is(Kind::kList) || bound[0]->is(Kind::kDict)) {
      fail(ErrorCode::kInvalidArgument, "unhashable type: '{}'", type_name(*bound[0]));
    }
    const Value* found = dict.find(budget, *bound[0]);
    if (found != nullptr) return *found;
    return bound[1].value_or(Value::none());
  }
  bind(method.name, arguments, {});
  if (method.name == "copy") return dict;
  std::vector<Value> items;
  for (const auto& [key, value] : dict.as_dict().items) {
    budget.step();
    if (method.name == "keys") {
      items.push_back(key);
    } else if (method.name == "values") {
      items.push_back(value);
    } else {
      items.push_back(Value::sequence(Kind::kTuple, {key, value}));
    }
  }
  return budget.sequence(Kind::kView, std::move(items));
}

Value call_loop_method(Budget& budget, const Method& method, const Arguments& arguments) {
  Loop& loop = method.object.as_loop();
  if (!arguments.keywords.empty()) {
    fail(ErrorCode::kInvalidArgument, "loop.{}() takes no keyword arguments", method.name);
  }
  if (method.name == "changed") {
    Value values = budget.sequence(Kind::kTuple, arguments.positional);
    return Value::boolean(loop.has_changed(budget, std::move(values)));
  }
  if (arguments.positional.empty()) {
    fail(ErrorCode::kInvalidArgument, "no items for cycling given");
  }
  return arguments.positional[static_cast<size_t>(loop.index0()) % arguments.positional.size()];
}

}  // namespace

Value call_method(Budget& budget, const Method& method, const Arguments& arguments) {
  budget.step();
  switch (method.object.kind()) {
    case Kind::kString:
      return call_string_method(budget, method, arguments);
    case Kind::kList:
    case Kind::kTuple:
      return call_sequence_method(budget, method, arguments);
    case Kind::kDict:
      return call_dict_method(budget, method, arguments);
    case Kind::kLoop:
      return call_loop_method(budget, method, arguments);
    default:
      fail(ErrorCode::kUnsupported, "method '{}' of a {} is not supported", method.name,
           type_name(method.object));
  }
}

}  // namespace llava::text::jinja
