# %% [markdown]
# # sweep_in_pandas

# %%
print(1)
