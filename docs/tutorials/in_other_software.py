# %% [markdown]
# # in_other_software

# %%
print(1)
