//! What is wrong with a policy, and where.

/// One mistake, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong and what would mend it.
    pub message: String,
}

/// Every mistake of a policy, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// The file's name.
    pub name: String,
    /// At least one.
    pub mistakes: Vec<Mistake>,
}
