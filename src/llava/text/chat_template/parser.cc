// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/parser.h"

#include <algorithm>
#include <array>
#include <utility>

#include "llava/text/chat_template/expression_parser.h"
#include "llava/text/chat_template/scopes.h"
#include "llava/text/chat_template/token_stream.h"

namespace llava::text::jinja {
namespace {

using EndNames = std::vector<std::string_view>;

class Parser {
 public:
  Parser(std::string_view source, std::string_view label)
      : stream_(tokenize_template(source, label), label), expressions_(stream_, depth_) {
    program_.label = label;
    program_.source = source;
  }

  Program run() {
    program_.body = parse_until({});
    find_hidden_names(program_);
    return std::move(program_);
  }

 private:
  // Statements up to the block tag that begins with one of these names, or the template's end when
  // there are none. The stream is then at that name.
  Block parse_until(const EndNames& ends) {
    const DepthGuard guard(depth_, stream_);
    Block body;
    while (true) {
      if (stream_.is(TokenKind::kEnd)) {
        if (!ends.empty()) stream_.unexpected(fmt::format("{{% {} %}}", ends.back()));
        return body;
      }
      if (stream_.is(TokenKind::kText)) {
        Statement text = make(StatementKind::kText);
        text.text = stream_.take().text;
        body.push_back(std::move(text));
      } else if (stream_.is(TokenKind::kVariableBegin)) {
        body.push_back(parse_output());
      } else {
        stream_.expect(TokenKind::kBlockBegin, "a tag");
        const bool is_end =
            stream_.is(TokenKind::kName) &&
            std::find(ends.begin(), ends.end(), stream_.current().text) != ends.end();
        if (is_end) return body;
        body.push_back(parse_statement());
        stream_.expect(TokenKind::kBlockEnd, "'%}'");
      }
    }
  }

  // The body behind a tag's head.
  Block parse_body(const EndNames& ends) {
    stream_.skip_operator(":");
    stream_.expect(TokenKind::kBlockEnd, "'%}'");
    return parse_until(ends);
  }

  Block parse_whole_body(std::string_view end) {
    Block body = parse_body({end});
    stream_.take();
    return body;
  }

  Statement make(StatementKind kind) const {
    Statement statement;
    statement.kind = kind;
    statement.line = stream_.line();
    return statement;
  }

  Statement parse_output() {
    Statement output = make(StatementKind::kOutput);
    stream_.take();
    output.value = expressions_.parse_tuple();
    // Marking text as safe for HTML is nothing at the very end, where nothing is escaped.
    const bool is_marked = output.value->kind == ExprKind::kFilter &&
                           output.value->name == "safe" && output.value->arguments.empty() &&
                           output.value->keywords.empty();
    if (is_marked) output.value = std::move(output.value->children[0]);
    stream_.expect(TokenKind::kVariableEnd, "'}}'");
    return output;
  }

  Statement parse_statement() {
    if (!stream_.is(TokenKind::kName)) stream_.unexpected("the name of a tag");
    using Method = Statement (Parser::*)();
    static constexpr std::array<std::pair<std::string_view, Method>, 9> kTags = {
        {{"if", &Parser::parse_if},
         {"for", &Parser::parse_for},
         {"set", &Parser::parse_set},
         {"macro", &Parser::parse_macro},
         {"filter", &Parser::parse_filter},
         {"with", &Parser::parse_with},
         {"generation", &Parser::parse_generation},
         {"break", &Parser::parse_jump},
         {"continue", &Parser::parse_jump}}};
    for (const auto& [name, method] : kTags) {
      if (stream_.is_name(name)) return (this->*method)();
    }
    stream_.error(ErrorCode::kUnsupported,
                  fmt::format("tag '{}' is not supported", stream_.current().text));
  }

  Statement parse_if() {
    Statement statement = make(StatementKind::kIf);
    bool is_done = false;
    while (!is_done) {
      stream_.take();  // if, elif
      Branch branch;
      branch.condition = expressions_.parse_tuple(/*has_conditional=*/false);
      branch.body = parse_body({"elif", "else", "endif"});
      statement.branches.push_back(std::move(branch));
      is_done = !stream_.is_name("elif");
    }
    if (stream_.skip_name("else")) {
      statement.branches.push_back({nullptr, parse_whole_body("endif")});
    } else {
      stream_.take();
    }
    return statement;
  }

  Statement parse_for() {
    Statement statement = make(StatementKind::kFor);
    stream_.take();
    parse_targets(statement, /*has_attributes=*/false);
    for (const Target& target : statement.targets) {
      if (target.name == "loop") {
        stream_.error(ErrorCode::kBadFormat, "a loop cannot assign to 'loop'");
      }
    }
    if (!stream_.skip_name("in")) stream_.unexpected("'in'");
    statement.value = expressions_.parse_tuple(/*has_conditional=*/false, "recursive");
    note_iteration(*statement.value);
    if (stream_.skip_name("if")) statement.condition = expressions_.parse();
    if (stream_.is_name("recursive")) {
      stream_.error(ErrorCode::kUnsupported, "a recursive loop is not supported");
    }
    ++loop_depth_;
    statement.body = parse_body({"endfor", "else"});
    --loop_depth_;
    if (stream_.skip_name("else")) {
      statement.otherwise = parse_whole_body("endfor");
    } else {
      stream_.take();
    }
    return statement;
  }

  Statement parse_set() {
    Statement statement = make(StatementKind::kSet);
    stream_.take();
    parse_targets(statement, /*has_attributes=*/true);
    if (stream_.skip_operator("=")) {
      statement.value = expressions_.parse_tuple();
      if (statement.targets.size() == 1 && is_content(*statement.value)) {
        content_names_.push_back(statement.targets[0].name);
      }
      return statement;
    }
    if (statement.is_unpacking) stream_.unexpected("'='");
    statement.kind = StatementKind::kSetBlock;
    if (stream_.is_operator("|")) statement.value = expressions_.parse_filters(nullptr);
    statement.body = parse_whole_body("endset");
    return statement;
  }

  Statement parse_macro() {
    Statement statement = make(StatementKind::kMacro);
    stream_.take();
    statement.name = stream_.expect_name();
    stream_.expect_operator("(");
    while (!stream_.is_operator(")")) {
      statement.targets.push_back({stream_.expect_name(), {}});
      if (stream_.skip_operator("=")) {
        statement.defaults.push_back(expressions_.parse());
      } else if (!statement.defaults.empty()) {
        stream_.error(ErrorCode::kBadFormat, "non-default argument follows default argument");
      }
      if (!stream_.skip_operator(",")) break;
    }
    stream_.expect_operator(")");
    const int outer_depth = std::exchange(loop_depth_, 0);
    statement.body = parse_whole_body("endmacro");
    loop_depth_ = outer_depth;
    return statement;
  }

  Statement parse_filter() {
    Statement statement = make(StatementKind::kFilter);
    stream_.take();
    statement.value = expressions_.parse_filters(nullptr, /*is_started=*/true);
    statement.body = parse_whole_body("endfilter");
    return statement;
  }

  Statement parse_with() {
    Statement statement = make(StatementKind::kWith);
    stream_.take();
    while (!stream_.is(TokenKind::kBlockEnd)) {
      Target target{stream_.expect_name(), {}};
      stream_.expect_operator("=");
      statement.assignments.emplace_back(std::move(target), expressions_.parse());
      if (!stream_.skip_operator(",")) break;
    }
    statement.body = parse_whole_body("endwith");
    return statement;
  }

  // An extension tag of the published library, which marks what the assistant says.
  Statement parse_generation() {
    Statement statement = make(StatementKind::kGeneration);
    stream_.take();
    const int outer_depth = std::exchange(loop_depth_, 0);
    statement.body = parse_whole_body("endgeneration");
    loop_depth_ = outer_depth;
    return statement;
  }

  Statement parse_jump() {
    const bool is_break = stream_.is_name("break");
    Statement statement = make(is_break ? StatementKind::kBreak : StatementKind::kContinue);
    if (loop_depth_ == 0) {
      stream_.error(ErrorCode::kBadFormat,
                    fmt::format("'{}' outside a loop", stream_.current().text));
    }
    stream_.take();
    return statement;
  }

  // What stands before `in` or `=`: names with commas, in parentheses or not.
  void parse_targets(Statement& statement, bool has_attributes) {
    const bool is_in_parentheses = stream_.skip_operator("(");
    while (true) {
      Target target{stream_.expect_name(), {}};
      static constexpr std::array<std::string_view, 6> kConstants = {"true",  "True", "false",
                                                                     "False", "none", "None"};
      if (std::find(kConstants.begin(), kConstants.end(), target.name) != kConstants.end()) {
        stream_.error(ErrorCode::kBadFormat, fmt::format("can't assign to '{}'", target.name));
      }
      if (has_attributes && stream_.skip_operator(".")) target.attribute = stream_.expect_name();
      statement.targets.push_back(std::move(target));
      if (!stream_.skip_operator(",")) break;
      statement.is_unpacking = true;
      if (stream_.is_name("in") || stream_.is_operator("=") || stream_.is_operator(")")) break;
    }
    if (is_in_parentheses) stream_.expect_operator(")");
  }

  // Whether an expression is a message's content.
  bool is_content(const Expr& expr) const {
    switch (expr.kind) {
      case ExprKind::kName:
        return expr.name == "content" || std::find(content_names_.begin(), content_names_.end(),
                                                   expr.name) != content_names_.end();
      case ExprKind::kAttribute:
        return expr.name == "content";
      case ExprKind::kItem: {
        const Expr& key = *expr.children[1];
        return key.kind == ExprKind::kConstant && key.constant.is_string() &&
               key.constant.as_string() == "content";
      }
      default:
        return false;
    }
  }

  // A template that iterates over a content wants it as a list of parts.
  void note_iteration(const Expr& iterated) {
    static constexpr std::array<std::string_view, 6> kKeepsItems = {
        "select", "reject", "selectattr", "rejectattr", "list", "reverse"};
    const Expr* expr = &iterated;
    while (expr->kind == ExprKind::kFilter && expr->children[0] != nullptr &&
           std::find(kKeepsItems.begin(), kKeepsItems.end(), expr->name) != kKeepsItems.end()) {
      expr = expr->children[0].get();
    }
    program_.iterates_content = program_.iterates_content || is_content(*expr);
  }

  TokenStream stream_;
  int depth_ = 0;
  int loop_depth_ = 0;
  std::vector<std::string> content_names_;
  ExpressionParser expressions_;
  Program program_;
};

}  // namespace

Program parse_program(std::string_view source, std::string_view label) {
  return Parser(source, label).run();
}

}  // namespace llava::text::jinja
