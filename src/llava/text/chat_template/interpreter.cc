// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/interpreter.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "llava/text/chat_template/loop.h"
#include "llava/text/chat_template/operations.h"
#include "llava/text/chat_template/recursion.h"
#include "llava/text/chat_template/text_form.h"

namespace llava::text::jinja {

void set_variable(Interpreter::Variables& variables, std::string_view name, Value value) {
  for (auto& [own, old] : variables) {
    if (own == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

std::string Interpreter::run(Variables variables) {
  global_.variables = std::move(variables);
  hide(program_->hidden, global_);
  std::string out;
  try {
    run_block(program_->body, global_, out);
  } catch (const Error& error) {
    fail(error.code(), "chat template '{}' line {}: {}", program_->label, line_, error.what());
  }
  return out;
}

void Interpreter::hide(const std::vector<std::string>& names, Scope& scope) {
  for (const std::string& name : names) {
    set_variable(scope.variables, name, Value::undefined(fmt::format("'{}' is undefined", name)));
  }
}

Interpreter::Flow Interpreter::run_block(const Block& block, Scope& scope, std::string& out) {
  for (const Statement& statement : block) {
    const Flow flow = run_statement(statement, scope, out);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_statement(const Statement& statement, Scope& scope,
                                             std::string& out) {
  const Recursion recursion(depth_);
  budget_.step();
  line_ = statement.line;
  switch (statement.kind) {
    case StatementKind::kText:
      write(out, statement.text);
      return Flow::kNext;
    case StatementKind::kOutput:
      write(out, to_str(budget_, evaluate(*statement.value, scope)));
      return Flow::kNext;
    case StatementKind::kIf:
      return run_if(statement, scope, out);
    case StatementKind::kFor:
      return run_for(statement, scope, out);
    case StatementKind::kSet:
      run_set(statement, scope);
      return Flow::kNext;
    case StatementKind::kMacro:
      run_macro_definition(statement, scope);
      return Flow::kNext;
    case StatementKind::kSetBlock:
    case StatementKind::kFilter:
    case StatementKind::kWith:
    case StatementKind::kGeneration:
      return run_captured(statement, scope, out);
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_if(const Statement& statement, Scope& scope, std::string& out) {
  for (const Branch& branch : statement.branches) {
    if (branch.condition == nullptr || is_true(evaluate(*branch.condition, scope))) {
      return run_block(branch.body, scope, out);
    }
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_for(const Statement& statement, Scope& scope, std::string& out) {
  const Value iterated = evaluate(*statement.value, scope);
  std::vector<Value> items = iterate(budget_, iterated);
  Loop::Condition condition;
  if (statement.condition != nullptr) {
    condition = [this, &statement, &scope](const Value& item) {
      Scope inner{{}, &scope};
      assign(statement, item, inner);
      return is_true(evaluate(*statement.condition, inner));
    };
  }
  const auto loop = std::make_shared<Loop>(std::move(items), std::move(condition));
  bool has_run = false;
  while (loop->advance()) {
    has_run = true;
    budget_.step();
    Scope inner{{}, &scope};
    hide(statement.hidden, inner);
    inner.variables.emplace_back("loop", Value::loop(loop));
    assign(statement, loop->current(), inner);
    if (run_block(statement.body, inner, out) == Flow::kBreak) {
      if (iterated.is(Kind::kGenerator)) iterated.as_generator().is_cut = true;
      break;
    }
  }
  if (has_run) return Flow::kNext;
  Scope inner{{}, &scope};
  hide(statement.otherwise_hidden, inner);
  return run_block(statement.otherwise, inner, out);
}

// Blocks with a scope of their own, most of which collect their text first.
Interpreter::Flow Interpreter::run_captured(const Statement& statement, Scope& scope,
                                            std::string& out) {
  Scope inner{{}, &scope};
  hide(statement.hidden, inner);
  if (statement.kind == StatementKind::kWith) {
    for (const auto& [target, value] : statement.assignments) {
      set_variable(inner.variables, target.name, evaluate(*value, scope));
    }
    return run_block(statement.body, inner, out);
  }
  std::string text;
  const Flow flow = run_block(statement.body, inner, text);
  if (flow != Flow::kNext) return flow;
  Value value = budget_.text(std::move(text));
  if (statement.value != nullptr) value = filter_text(*statement.value, std::move(value), scope);
  if (statement.kind == StatementKind::kSetBlock) {
    assign_target(statement.targets[0], value, scope);
  } else {
    write(out, to_str(budget_, value));
  }
  return Flow::kNext;
}

void Interpreter::run_set(const Statement& statement, Scope& scope) {
  assign(statement, evaluate(*statement.value, scope), scope);
}

// A macro sees the variables of the whole template and its own, so it may only be defined where
// those are all there is.
void Interpreter::run_macro_definition(const Statement& statement, Scope& scope) {
  if (&scope != &global_) {
    fail(ErrorCode::kUnsupported,
         "defining macro '{}' inside a loop or another block is not supported", statement.name);
  }
  set_variable(scope.variables, statement.name, Value::macro(&statement));
}

void Interpreter::assign(const Statement& statement, const Value& value, Scope& scope) {
  if (!statement.is_unpacking) {
    assign_target(statement.targets[0], value, scope);
    return;
  }
  const std::vector<Value> items = iterate(budget_, value);
  if (items.size() != statement.targets.size()) {
    fail(ErrorCode::kInvalidArgument, "unpacking needs {} values, found {}",
         statement.targets.size(), items.size());
  }
  for (size_t i = 0; i < items.size(); ++i) assign_target(statement.targets[i], items[i], scope);
}

void Interpreter::assign_target(const Target& target, const Value& value, Scope& scope) {
  if (target.attribute.empty()) {
    if (value.is(Kind::kLoop)) {
      fail(ErrorCode::kUnsupported, "keeping 'loop' in a variable is not supported");
    }
    budget_.step(static_cast<int64_t>(scope.variables.size() / 16));
    set_variable(scope.variables, target.name, value);
    return;
  }
  const Value name_space = evaluate_name(target.name, scope);
  if (!name_space.is(Kind::kNamespace)) {
    fail(ErrorCode::kInvalidArgument, "cannot assign attribute on non-namespace object");
  }
  // The same rules as for the items of a container, so that no namespace contains itself.
  Value::name_space({{target.attribute, value}});
  auto& attributes = name_space.as_namespace().attributes;
  budget_.step(static_cast<int64_t>(attributes.size()));
  set_variable(attributes, target.attribute, value);
}

void Interpreter::write(std::string& out, std::string_view text) {
  budget_.charge(text.size());
  out += text;
}

Value Interpreter::call_macro(const Statement& macro, const Arguments& arguments) {
  const size_t num_parameters = macro.targets.size();
  if (arguments.positional.size() > num_parameters) {
    fail(ErrorCode::kInvalidArgument, "macro '{}' takes not more than {} argument(s)", macro.name,
         num_parameters);
  }
  std::vector<std::optional<Value>> bound(num_parameters);
  std::copy(arguments.positional.begin(), arguments.positional.end(), bound.begin());
  for (const auto& [name, value] : arguments.keywords) {
    size_t i = 0;
    while (i < num_parameters && macro.targets[i].name != name) ++i;
    if (i == num_parameters || bound[i]) {
      fail(ErrorCode::kInvalidArgument, "macro '{}' takes no keyword argument '{}'", macro.name,
           name);
    }
    bound[i] = value;
  }
  const Recursion recursion(depth_);
  Scope inner{{}, &global_};
  hide(macro.hidden, inner);
  const size_t first_default = num_parameters - macro.defaults.size();
  for (size_t i = 0; i < num_parameters; ++i) {
    const std::string& name = macro.targets[i].name;
    if (!bound[i] && i >= first_default) {
      bound[i] = evaluate(*macro.defaults[i - first_default], inner);
    }
    set_variable(
        inner.variables, name,
        bound[i].value_or(Value::undefined(fmt::format("parameter '{}' was not provided", name))));
  }
  std::string text;
  run_block(macro.body, inner, text);
  return Value::string(std::move(text));
}

}  // namespace llava::text::jinja
