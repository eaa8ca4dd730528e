//! Cohorts: what is predicted where a column's values lie in a range.

use std::collections::BTreeMap;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use relcast_catalog::{SemanticType, TableId};
use relcast_sampler::UNKNOWN_ROW;

use super::importance::{Feature, Grown};
use super::{DAY, Explainer, ImportanceLine};
use crate::error::TrainError;

/// Columns that have cohorts, and the ranges or values that each is divided into.
const COLUMNS: usize = 5;
const PARTS: usize = 5;

/// The predictions for entities whose rows lie in a range of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Links between the entity and the row.
    pub hop: usize,
    /// The least and the greatest value of the range, one value, `other values` or `NULL`. Of times
    /// it is the age in days at the moment of the prediction.
    pub range: String,
    /// The mean over these rows of what is predicted for their entities: a probability, or a number
    /// in the label's unit; for several classes the probability of the one predicted most often.
    pub mean_prediction: f64,
    /// Rows in the range, each counted once per tree it is in.
    pub rows: usize,
}

/// A column as its cohorts read it.
enum Reading {
    /// The age of the row.
    Age,
    /// A timestamp column: its age.
    Moments(TimestampMicrosecondArray),
    Numbers(Float64Array),
    Texts(StringArray),
}

/// The cell of a row.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Number(f64),
    Text(String),
}

/// Cells with the predictions for their entities, and whether the cells are ages.
type Predicted = (Vec<(Value, f64)>, bool);

impl Explainer<'_> {
    /// Cohorts of the most important columns of `ranked` that have ranges; `whole` are the
    /// predictions for the trees `all`.
    pub(super) fn cohorts(
        &self,
        ranked: &[(ImportanceLine, Feature)],
        all: &[Grown],
        whole: &[f64],
    ) -> Result<Vec<Cohort>, TrainError> {
        let output = self.commonest_output(whole);
        let outputs = self.model.fit.task.outputs().max(1);
        let scores: Vec<f64> = whole.iter().skip(output).step_by(outputs).copied().collect();
        let mut cohorts = Vec::new();
        let mut columns = 0;
        for (line, feature) in ranked {
            let matters = line.worsening.is_some_and(|worsening| worsening > 0.0);
            let (Some(column), true) = (&line.column, matters && columns < COLUMNS) else {
                continue;
            };
            let Some((values, ages)) = self.values(feature, all, &scores)? else { continue };
            columns += 1;
            let described = |(range, (sum, rows)): (String, (f64, usize))| Cohort {
                table: line.table.clone(),
                column: column.clone(),
                hop: line.hop,
                range,
                mean_prediction: sum / rows as f64,
                rows,
            };
            cohorts.extend(divided(values, ages).into_iter().map(described));
        }
        Ok(cohorts)
    }

    /// The cells of a column in all trees with the prediction for their entity, and whether they
    /// are ages; `None` for a column without ranges.
    fn values(
        &self,
        feature: &Feature,
        all: &[Grown],
        scores: &[f64],
    ) -> Result<Option<Predicted>, TrainError> {
        let (Some(reading), Some(cell)) = (self.reading(feature)?, &feature.cell) else {
            return Ok(None);
        };
        let features = &self.inputs.features[feature.table];
        let mut values = Vec::new();
        let mut before = 0;
        for Grown { seeds, drawn } in all {
            for (step, block) in self.inputs.plan.blocks.iter().zip(&drawn.blocks) {
                if (step.table.index(), step.hop) != (feature.table, feature.hop) {
                    continue;
                }
                let ages = block.ages();
                for (node, (row, seed)) in block.rows().iter().zip(block.seeds()).enumerate() {
                    let view = seeds.views[*seed as usize];
                    let known = *row != UNKNOWN_ROW && features.is_known(cell, *row, view);
                    let value = match (known, &reading) {
                        (false, _) => Value::Null,
                        (true, Reading::Age) => number(ages.get(node).map(|age| age as f64 / DAY)),
                        (true, other) => other.of(*row as usize, view),
                    };
                    values.push((value, scores[before + *seed as usize]));
                }
            }
            before += seeds.len();
        }
        let ages = matches!(reading, Reading::Age | Reading::Moments(_));
        Ok(Some((values, ages)))
    }

    fn reading(&self, feature: &Feature) -> Result<Option<Reading>, TrainError> {
        let Some(cell) = &feature.cell else { return Ok(None) };
        if cell.is_row_time() {
            return Ok(Some(Reading::Age));
        }
        let rows = self.inputs.graph.table_columns(TableId(feature.table as u32))?;
        let column = self.model.schema.tables[feature.table].find_column(&cell.column);
        let (Some(column), Some(values)) = (column, rows.column_by_name(&cell.column)) else {
            return Ok(None);
        };
        Ok(read(column.semantic, values)?)
    }
}

fn read(semantic: SemanticType, values: &ArrayRef) -> Result<Option<Reading>, ArrowError> {
    Ok(match semantic {
        SemanticType::Timestamp => {
            let micros = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            Some(Reading::Moments(micros.as_primitive::<TimestampMicrosecondType>().clone()))
        }
        SemanticType::Numerical => {
            let floats = cast(values, &DataType::Float64)?;
            Some(Reading::Numbers(floats.as_primitive::<Float64Type>().clone()))
        }
        SemanticType::Categorical | SemanticType::Boolean => {
            let texts = cast(values, &DataType::Utf8)?;
            Some(Reading::Texts(texts.as_string::<i32>().clone()))
        }
        _ => None,
    })
}

impl Reading {
    /// The cell of `row` as it is at `view`.
    fn of(&self, row: usize, view: i64) -> Value {
        match self {
            Self::Moments(times) if times.is_valid(row) => {
                number(Some((view as f64 - times.value(row) as f64) / DAY))
            }
            Self::Numbers(numbers) if numbers.is_valid(row) => number(Some(numbers.value(row))),
            Self::Texts(texts) if texts.is_valid(row) => Value::Text(texts.value(row).to_owned()),
            _ => Value::Null,
        }
    }
}

fn number(value: Option<f64>) -> Value {
    value.filter(|v| v.is_finite()).map_or(Value::Null, Value::Number)
}

/// Sum of the predictions and number of the rows.
type Part = (f64, usize);

/// The ranges of the values, each with its predictions; ages are told in days.
fn divided(values: Vec<(Value, f64)>, ages: bool) -> Vec<(String, Part)> {
    let (mut numbers, mut texts) = (Vec::new(), BTreeMap::<String, Part>::new());
    let mut nulls: Part = (0.0, 0);
    let add = |part: &mut Part, score: f64| *part = (part.0 + score, part.1 + 1);
    for (value, score) in values {
        match value {
            Value::Null => add(&mut nulls, score),
            Value::Number(number) => numbers.push((number, score)),
            Value::Text(text) => add(texts.entry(text).or_default(), score),
        }
    }
    let mut parts = ranges(numbers, ages);
    parts.extend(commonest(texts));
    parts.extend((nulls.1 > 0).then(|| ("NULL".to_owned(), nulls)));
    parts
}

/// Ranges with about as many rows in each; equal numbers stay together.
fn ranges(mut numbers: Vec<(f64, f64)>, ages: bool) -> Vec<(String, Part)> {
    numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
    let inner = (1..PARTS).filter_map(|part| numbers.get(numbers.len() * part / PARTS));
    let mut edges: Vec<f64> = inner.map(|(number, _)| *number).collect();
    edges.dedup();
    let place = |number: f64| edges.partition_point(|edge| *edge <= number);
    let told = |number: f64| if ages { format!("{number:.1}") } else { number.to_string() };
    let parts = numbers.chunk_by(|a, b| place(a.0) == place(b.0));
    let described = parts.map(|rows| {
        let (least, greatest) = (told(rows[0].0), told(rows[rows.len() - 1].0));
        let range = if least == greatest { least } else { format!("{least} .. {greatest}") };
        let range = if ages { format!("{range} days") } else { range };
        (range, (rows.iter().map(|(_, score)| score).sum::<f64>(), rows.len()))
    });
    described.collect()
}

/// The commonest texts, and the others as one.
fn commonest(texts: BTreeMap<String, Part>) -> Vec<(String, Part)> {
    let mut ranked: Vec<(String, Part)> = texts.into_iter().collect();
    ranked.sort_by_key(|(_, part)| std::cmp::Reverse(part.1));
    let others = ranked.split_off(PARTS.min(ranked.len()));
    let sum = others.iter().fold((0.0, 0), |(sum, rows), (_, part)| (sum + part.0, rows + part.1));
    ranked.extend((sum.1 > 0).then(|| ("other values".to_owned(), sum)));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_range_and_equal_numbers_in_the_same() {
        let mut values: Vec<(Value, f64)> =
            (0..100).map(|i| (Value::Number(f64::from(i)), f64::from(i))).collect();
        values.push((Value::Null, 7.0));
        let parts = divided(values, false);
        let names: Vec<&str> = parts.iter().map(|(range, _)| range.as_str()).collect();
        assert_eq!(names, ["0 .. 19", "20 .. 39", "40 .. 59", "60 .. 79", "80 .. 99", "NULL"]);
        assert_eq!(parts[1].1, ((20..40).map(f64::from).sum(), 20));
        assert_eq!(parts[5].1, (7.0, 1));

        let ties = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0];
        let parts = divided(ties.map(|n| (Value::Number(n), 1.0)).to_vec(), true);
        let found: Vec<(&str, usize)> = parts.iter().map(|(r, p)| (r.as_str(), p.1)).collect();
        assert_eq!(found, [("1.0 days", 8), ("2.0 days", 2)]);
        assert!(divided(Vec::new(), false).is_empty());
    }

    #[test]
    fn the_commonest_texts_stand_alone() {
        let values = (0..7).flat_map(|i| {
            (0..=i).map(move |_| (Value::Text(format!("t{i}")), 1.0)).collect::<Vec<_>>()
        });
        let parts = divided(values.collect(), false);
        let found: Vec<(&str, usize)> = parts.iter().map(|(r, p)| (r.as_str(), p.1)).collect();
        let expected = [("t6", 7), ("t5", 6), ("t4", 5), ("t3", 4), ("t2", 3), ("other values", 3)];
        assert_eq!(found, expected);
    }
}
