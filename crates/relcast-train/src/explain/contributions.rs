//! What the cells and rows of one entity's tree contribute to its score: Shapley values over drawn
//! orders (Štrumbelj and Kononenko 2014).
//!
//! All is unknown at first: the entity's cells are NULL and no row is linked to it. Along an order
//! one player after the other becomes known, and what the score moves is its contribution; so along
//! each order, and in the mean over all, they add up to the score.

use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use relcast_catalog::{SemanticType, TableId, format_time};
use relcast_sampler::{Seeds, Subgraph};

use super::Explainer;
use super::draw::{shuffled, stream};
use super::edit::Unknown;
use super::players::{Player, Players, RowOf};
use crate::batch::HostBatch;
use crate::error::TrainError;
use crate::examples::Examples;
use crate::features::CellFeatures;
use crate::fit::argmax;

/// Trees that are predicted for, about: some seconds.
const PREDICTIONS: usize = 1_600;
/// Pairs of an order and its reverse, at most.
const MOST_PAIRS: usize = 8;
/// Copies of the tree in one batch.
const COPIES: usize = 128;

/// What one entity's score is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributions {
    /// The score: a probability, a number in the label's unit, or the probability of the class that
    /// is predicted.
    pub score: f64,
    /// The score of an entity of which nothing but the moment of the prediction is known.
    pub base: f64,
    /// Those that are not zero, the largest first. With the base they add up to the score.
    pub parts: Vec<Contribution>,
}

/// What a cell, or a row by being there, adds to the score.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The table.
    pub table: String,
    /// The row's primary key as text; `None` for a table without one.
    pub row_key: Option<String>,
    /// The column; `None` for the row itself, with those of its cells that do not stand alone and
    /// all that hangs from it and does not stand alone.
    pub column: Option<String>,
    /// Links between the entity and the row, at least.
    pub hop: usize,
    /// The cell as text.
    pub value: Option<String>,
    /// What it adds, in the unit of the score.
    pub contribution: f64,
}

/// Which players are known.
type Coalition = Vec<bool>;

/// A tree that is grown in copies, and who plays in it.
struct Game {
    drawn: Subgraph,
    batch: HostBatch,
    players: Players,
    cells: Vec<Vec<CellFeatures>>,
    unknown: Vec<Unknown>,
    /// Which output is the score.
    output: usize,
}

impl Explainer<'_> {
    /// What the score of `entity`, one example, is made of: seen with history until `visible_end` it
    /// was `predicted` (one number per output).
    ///
    /// # Errors
    /// [`TrainError::Stopped`], and those of drawing and predicting.
    pub fn contributions(
        &self,
        entity: &Examples,
        visible_end: i64,
        predicted: &[f64],
    ) -> Result<Contributions, TrainError> {
        let output = if predicted.len() > 1 { argmax(predicted).unwrap_or(0) } else { 0 };
        let score = predicted.get(output).copied().unwrap_or(f64::NAN);
        let seeds = |copies: usize| {
            let inputs = self.inputs;
            entity.seeds(&vec![0; copies], visible_end, &inputs.graph, inputs.entity)
        };
        let one = seeds(1);
        let cells = self.cells();
        let tables = self.tables()?;
        let players = {
            let (drawn, _) = self.grow(&one)?;
            let filled = |row: RowOf| self.filled(row, &cells[row.0], &tables[row.0], one.views[0]);
            Players::of(&self.inputs.plan, &drawn, filled)
        };
        let count = players.all.len();
        if count == 0 {
            return Ok(Contributions { score, base: score, parts: Vec::new() });
        }

        let orders = self.orders(&one, count);
        let mut coalitions: Vec<Coalition> = vec![vec![false; count]];
        for order in &orders {
            let mut known = vec![false; count];
            for player in &order[..count - 1] {
                known[*player] = true;
                coalitions.push(known.clone());
            }
        }
        let (drawn, batch) = self.grow(&seeds(COPIES.min(coalitions.len())))?;
        let unknown = self.inputs.features.iter().map(Unknown::of).collect();
        let game = Game { drawn, batch, players, cells, unknown, output };
        let mut scores = Vec::with_capacity(coalitions.len());
        for chunk in coalitions.chunks(COPIES) {
            scores.extend(self.play(&game, chunk)?);
        }

        let base = scores[0];
        let mut sums = vec![0.0; count];
        for (number, order) in orders.iter().enumerate() {
            let start = 1 + number * (count - 1);
            let mut before = base;
            // With the last player all is known.
            let along = scores[start..start + count - 1].iter().chain([&score]);
            for (player, after) in order.iter().zip(along) {
                sums[*player] += after - before;
                before = *after;
            }
        }
        let mut parts = Vec::new();
        for (player, sum) in game.players.all.iter().zip(sums).filter(|(_, sum)| *sum != 0.0) {
            let contribution = sum / orders.len() as f64;
            parts.push(self.described(*player, &game.cells, &tables, contribution)?);
        }
        parts.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
        Ok(Contributions { score, base, parts })
    }

    /// Orders of so many players, each followed by its reverse.
    fn orders(&self, seeds: &Seeds, players: usize) -> Vec<Vec<usize>> {
        let pairs = (PREDICTIONS / (2 * players)).clamp(1, MOST_PAIRS);
        let drawn = (0..pairs as u64).map(|pair| {
            let words = [seeds.keys[0], seeds.cutoffs[0] as u64, pair];
            shuffled(players, stream(self.model.fit.seed, &words))
        });
        drawn.flat_map(|order| [order.clone(), order.into_iter().rev().collect()]).collect()
    }

    /// The score of the entity for each of `coalitions`, of which there are no more than copies.
    fn play(&self, game: &Game, coalitions: &[Coalition]) -> Result<Vec<f64>, TrainError> {
        let plan = &self.inputs.plan;
        let mut batch = game.batch.clone();
        // Copies that nobody asks for are left with the bare entity.
        let known = |copy: u32, player: usize| {
            coalitions.get(copy as usize).is_some_and(|coalition| coalition[player])
        };
        for (number, (step, block)) in plan.blocks.iter().zip(&game.drawn.blocks).enumerate() {
            let table = step.table.index();
            let of_table = (table, self.inputs.features[table].shape());
            for (node, (row, copy)) in block.rows().iter().zip(block.seeds()).enumerate() {
                let Some(own) = game.players.of_row((table, *row)) else { continue };
                if number > 0 && own.row.is_some_and(|player| !known(*copy, player)) {
                    continue;
                }
                let forgotten = own.cells.iter().filter(|(_, player)| !known(*copy, *player));
                let forgotten: Vec<&CellFeatures> =
                    forgotten.map(|(cell, _)| &game.cells[table][*cell]).collect();
                let unknown = &game.unknown[table];
                batch.forget_cells((number, node), of_table, &forgotten, unknown);
                if let Some(closed) = &mut batch.closed
                    && closed.block == number
                    && forgotten.iter().any(|cell| self.is_closed_label(table, cell))
                {
                    closed.labels[node] = 0.0;
                }
            }
        }
        batch.regrow(
            plan,
            |_, parent| parent,
            |number, node| {
                let (block, table) = (&game.drawn.blocks[number], plan.blocks[number].table);
                let own = game.players.of_row((table.index(), block.rows()[node]));
                let player = own.and_then(|own| own.row);
                player.is_none_or(|player| known(block.seeds()[node], player))
            },
        );
        let outputs = self.model.fit.task.outputs().max(1);
        let predicted = self.predict(batch)?;
        let scores = predicted.chunks_exact(outputs).map(|outputs| outputs[game.output]);
        Ok(scores.take(coalitions.len()).collect())
    }

    fn tables(&self) -> Result<Vec<RecordBatch>, TrainError> {
        let graph = &self.inputs.graph;
        Ok(graph.tables().map(|table| graph.table_columns(table)).collect::<Result<_, _>>()?)
    }

    /// The cells of a row that hold something that is known at `view`.
    fn filled(
        &self,
        (table, row): RowOf,
        cells: &[CellFeatures],
        rows: &RecordBatch,
        view: i64,
    ) -> Vec<usize> {
        let features = &self.inputs.features[table];
        let is_filled = |cell: &CellFeatures| {
            let column = rows.column_by_name(&cell.column);
            let null = column.is_some_and(|column| column.is_null(row as usize));
            cell.is_row_time() || (!null && features.is_known(cell, row, view))
        };
        let filled = cells.iter().enumerate().filter(|(_, cell)| is_filled(cell));
        filled.map(|(place, _)| place).collect()
    }

    /// A player in a person's words.
    fn described(
        &self,
        player: Player,
        cells: &[Vec<CellFeatures>],
        tables: &[RecordBatch],
        contribution: f64,
    ) -> Result<Contribution, TrainError> {
        let (table, row) = player.row;
        let (schema, rows) = (&self.model.schema.tables[table], &tables[table]);
        let cell = player.cell.map(|cell| &cells[table][cell]);
        let value = match cell {
            None => None,
            Some(cell) => match rows.column_by_name(&cell.column) {
                Some(values) => {
                    let column = schema.find_column(&cell.column);
                    let long = column.is_some_and(|c| c.semantic == SemanticType::Embedding);
                    (!long).then(|| text(values, row)).transpose()?
                }
                None => {
                    let times = self.inputs.graph.times(TableId(table as u32));
                    times.get(row as usize).map(|time| format_time(*time))
                }
            },
        };
        let keys = schema.primary_key.iter().filter_map(|key| rows.column_by_name(key));
        let keys = keys.map(|key| text(key, row)).collect::<Result<Vec<_>, _>>()?;
        Ok(Contribution {
            table: schema.name.clone(),
            row_key: match keys.as_slice() {
                [] => None,
                [key] => Some(key.clone()),
                keys => Some(format!("({})", keys.join(", "))),
            },
            column: cell.map(|cell| cell.column.clone()),
            hop: player.hop,
            value,
            contribution,
        })
    }
}

/// A cell as text.
fn text(values: &dyn Array, row: u32) -> Result<String, ArrowError> {
    let options = FormatOptions::default();
    Ok(ArrayFormatter::try_new(values, &options)?.value(row as usize).to_string())
}
